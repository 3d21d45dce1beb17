"""Everything that computes. Never imports FastAPI or the API's routes."""
