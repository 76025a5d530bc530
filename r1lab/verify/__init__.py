"""Does a final answer equal a gold: one verifier for rewards, evaluation and filtering."""
