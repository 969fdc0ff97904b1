"""What ``doctor`` looks at, each with what to do about it; nothing is sent for money, spent or signed in."""
