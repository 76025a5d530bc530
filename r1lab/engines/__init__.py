"""What generates: in training, and as servers that answer over OpenAI's protocol."""
