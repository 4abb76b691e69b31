"""A fake RAM and ECS: the APIs for instance RAM roles."""
