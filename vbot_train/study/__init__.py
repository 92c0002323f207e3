"""What a study is on disk and in its database."""
