"""The parts of ./tern, one file a job; cli.py is the entrance."""
