"""One thread, so that results and timings depend on no one else, and how a refusal is read."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def refusal():
    """``refusal(call)`` is the message of the ValueError, or other error, of a refused call; it must be one line."""

    def message(call, error=ValueError):
        with pytest.raises(error) as caught:
            call()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message
