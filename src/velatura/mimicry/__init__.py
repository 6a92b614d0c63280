"""The attack that cloaks defend against: fine-tune a text-to-image model on an artist's pictures, and generate."""
