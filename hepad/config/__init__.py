"""Configuration: read, completed and checked before any job."""
