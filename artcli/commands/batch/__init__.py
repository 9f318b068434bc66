"""`artgen batch`: sheet reads the file, jobs makes single jobs of it, journal knows what is done, run does the rest."""
