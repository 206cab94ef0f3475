"""What a person looks at: progress, pictures, the summary."""
