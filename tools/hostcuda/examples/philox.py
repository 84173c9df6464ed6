"""NumPy's random numbers made by a kernel, at any place of the stream: the masks of dropout, bit for bit.

``Generator(Philox(seed)).random()`` takes 64-bit words in turn and makes (word >> 11) / 2^53 of each; four words come
from one counter, which NumPy steps first. So element i of a draw depends on the key and on the number of words drawn
before, and can be made anywhere. Run: python examples/philox.py
"""

from __future__ import annotations

import ctypes
import sys

import host_compiler
import numpy as np

SOURCE = r"""
struct Words { unsigned long long word[4]; };

__device__ __forceinline__ Words philox(unsigned long long counter, unsigned long long k0, unsigned long long k1) {
  unsigned long long c0 = counter, c1 = 0, c2 = 0, c3 = 0;
  for (int round = 0; round < 10; round++) {
    if (round) {
      k0 += 0x9E3779B97F4A7C15ull;
      k1 += 0xBB67AE8584CAA73Bull;
    }
    const unsigned long long m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
    const unsigned long long high0 = __umul64hi(m0, c0), low0 = m0 * c0;
    const unsigned long long high1 = __umul64hi(m1, c2), low1 = m1 * c2;
    c0 = high1 ^ c1 ^ k0;
    c2 = high0 ^ c3 ^ k1;
    c1 = low1;
    c3 = low0;
  }
  return {{c0, c1, c2, c3}};
}

// y = x / keep where the draw is below keep, else 0. state: the key's two words and the number of words drawn, in
// device memory, so that a captured graph can move on.
extern "C" __global__ void __launch_bounds__(256) dropout(
    const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ mask,
    const unsigned long long* state, int n, double keep) {
  const unsigned long long drawn = state[2], start = drawn & ~3ull;
  for (int quad = blockIdx.x * 256 + threadIdx.x; 4ll * quad < n + 3; quad += gridDim.x * 256) {
    const unsigned long long first = start + 4ull * quad;
    const Words words = philox(first / 4 + 1, state[0], state[1]);
    for (int j = 0; j < 4; j++) {
      const long long i = (long long)(first + j) - (long long)drawn;
      if (i < 0 || i >= n) continue;
      const bool kept = (words.word[j] >> 11) * (1.0 / 9007199254740992.0) < keep;
      mask[i] = kept;
      y[i] = kept ? x[i] / (float)keep : 0.0f;
    }
  }
}
"""


def main() -> int:
    module = host_compiler.Module(SOURCE)
    generator = np.random.Generator(np.random.Philox(12345))
    key = generator.bit_generator.state["state"]["key"]
    keep, drawn, wrong = 0.7, 0, 0
    for n in (5, 1001, 70_000):
        x = np.ones(n, "float32")
        y, mask = np.full(n, np.nan, "float32"), np.full(n, 255, "uint8")
        state = np.array([key[0], key[1], drawn], "uint64")
        module.launch("dropout", 8, 256, x, y, mask, state, ctypes.c_int(n), ctypes.c_double(keep))
        expected = generator.random(n) < keep
        equal = np.array_equal(mask, expected) and np.array_equal(y != 0, expected)
        print(f"{n:6d} draws from word {drawn}: {'equal to' if equal else 'NOT'} NumPy's, {mask.mean():.3f} kept")
        drawn += n
        wrong += not equal
    return wrong


if __name__ == "__main__":
    sys.exit(main())
