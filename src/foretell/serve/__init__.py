"""The OpenAI-compatible HTTP server: a queue, one worker that computes, and the forms of requests and answers."""
