"""What `artgen sample` does with a trained model; one way of looking at it per file, none of them knows an option."""
