"""Where things lie: local paths, addresses such as s3://bucket/folder, and copies of what lies there."""
