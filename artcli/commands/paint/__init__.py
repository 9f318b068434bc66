"""`artgen paint`: request says what there is to do, run works; films and the video of the strokes."""
