"""Pretrained networks, ours and others': `find` locates the files, each other module loads one family."""
