"""A fake RAM and ECS: the calls that an instance's role needs."""
