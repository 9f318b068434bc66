"""`artgen paint`: command parses, jobs finds what there is to do, run works; films and the video of the strokes."""
