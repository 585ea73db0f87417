"""What the tests of the dashboard show, and who may change it."""

import zoocache

#: No secret.
TOKEN = "a-token-of-tests-only"  # noqa: S105


def fill():
    for number in range(5):
        zoocache.set(f"product {number}", {"number": number}, deps=[f"shop:1:product:{number}"])
    zoocache.set("greeting", "hello", deps=["language:en"])
