"""Finished networks, ours and others': `find` says where they lie, each other file loads one family."""
