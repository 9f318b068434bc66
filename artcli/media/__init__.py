"""Files in and out: names and checks, pictures, films, and the recipe that every output carries."""
