"""The process of ``engine=transformers``: an OpenAI-compatible server on continuous batching."""
