"""What every package of xpnet may use, and which uses none of them."""
