// Tiled crossbar products with their ADCs, for the CPU.
//
// Lanes of a vector register hold output positions (pixels), not columns: the range of an ADC, which is taken over the
// columns of a tile, is then an element-wise maximum, and the sum of each position runs over the rows in their order, whatever
// the width of the register and the number of threads. One block of positions goes through the whole layer while it is in cache:
// patches are gathered once, then for each tile row and tile column: product, range, quantisation, sum.
//
// Plain C interface, no torch headers: it compiles in seconds, and membench/arrays/kernel.py loads it with ctypes.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
using Lanes = __m512;
constexpr int LANES = 16, COLUMNS = 8;
static inline Lanes load(const float *p) { return _mm512_loadu_ps(p); }
static inline void store(float *p, Lanes v) { _mm512_storeu_ps(p, v); }
static inline Lanes all(float v) { return _mm512_set1_ps(v); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
using Lanes = __m256;
constexpr int LANES = 8, COLUMNS = 4;
static inline Lanes load(const float *p) { return _mm256_loadu_ps(p); }
static inline void store(float *p, Lanes v) { _mm256_storeu_ps(p, v); }
static inline Lanes all(float v) { return _mm256_set1_ps(v); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
#elif defined(__ARM_NEON)
#include <arm_neon.h>
using Lanes = float32x4_t;
constexpr int LANES = 4, COLUMNS = 8;
static inline Lanes load(const float *p) { return vld1q_f32(p); }
static inline void store(float *p, Lanes v) { vst1q_f32(p, v); }
static inline Lanes all(float v) { return vdupq_n_f32(v); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return vfmaq_f32(c, a, b); }
#else
struct Lanes { float of[4]; };
constexpr int LANES = 4, COLUMNS = 4;
static inline Lanes load(const float *p) { Lanes v; std::memcpy(v.of, p, sizeof v.of); return v; }
static inline void store(float *p, Lanes v) { std::memcpy(p, v.of, sizeof v.of); }
static inline Lanes all(float v) { return {{v, v, v, v}}; }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) {
  for (int i = 0; i < 4; i++) c.of[i] += a.of[i] * b.of[i];
  return c;
}
#endif

constexpr int VECTORS = 3;               // registers of positions held at once, for each of COLUMNS columns
constexpr int BLOCK = LANES * VECTORS;   // positions that go through a layer together

extern "C" {

// A layer as the kernel sees it. Sizes of one dimension are (depth, height, width), 1 where the layer has fewer.
struct Layer {
  int64_t images, channels;
  int64_t size[3];       // of the input
  int64_t before[3];     // zeros padded in front
  int64_t padded[3];     // of the padded input
  int64_t out[3];        // of the output
  int64_t kernel[3], stride[3], dilation[3];
  int64_t rows, columns; // word lines and bit lines that hold weights
  int64_t width;         // columns of `weights`: bit lines with weights, then those padding bit lines that are not zero
  int64_t tile_rows, tile_columns;
  int64_t bits;          // of the ADC
  int64_t rank;          // the range is the rank-th largest magnitude, from 0
  int64_t zero_padding;  // whether the last tile has padding bit lines that give 0 A and so take part in the range
  float limit;           // largest input voltage; 0: none
  float range;           // largest magnitude of the whole batch, where that decides the scale; below 0: each image's own
  float gain, offset;
};

}  // extern "C"

namespace {

template <int N, int V>
void product(const float *patches, const float *weights, int64_t rows, int64_t width, float *out) {
  Lanes sum[N][V];
  for (int c = 0; c < N; c++)
    for (int v = 0; v < V; v++) sum[c][v] = all(0.f);
  for (int64_t r = 0; r < rows; r++) {
    Lanes x[V];
    for (int v = 0; v < V; v++) x[v] = load(patches + r * BLOCK + v * LANES);
    for (int c = 0; c < N; c++) {
      const Lanes w = all(weights[r * width + c]);
      for (int v = 0; v < V; v++) sum[c][v] = multiply_add(x[v], w, sum[c][v]);
    }
  }
  for (int c = 0; c < N; c++)
    for (int v = 0; v < V; v++) store(out + c * BLOCK + v * LANES, sum[c][v]);
}

using Product = void (*)(const float *, const float *, int64_t, int64_t, float *);

template <int V>
Product of_width(int columns) {
  static const Product table[] = {product<1, V>, product<2, V>, product<3, V>, product<4, V>,
                                  product<5, V>, product<6, V>, product<7, V>, product<8, V>};
  return table[columns - 1];
}

// Currents of `columns` bit lines: rows x BLOCK patches times rows x width weights.
void products(const float *patches, const float *weights, int64_t rows, int64_t width, int64_t columns, int vectors, float *out) {
  const int64_t pieces = (columns + COLUMNS - 1) / COLUMNS;
  for (int64_t piece = 0, column = 0; piece < pieces; piece++) {
    const int count = (int)((columns - column) / (pieces - piece));
    const Product multiply = vectors == 1 ? of_width<1>(count) : vectors == 2 ? of_width<2>(count) : of_width<3>(count);
    multiply(patches, weights + column, rows, width, out + column * BLOCK);
    column += count;
  }
}

// The step of a linear ADC, 2^(1 - bits + ceil(log2(top + 1e-12))), and its inverse; both are exact powers of two.
// `tolerance[e]`: how many units in the last place log2 in single precision takes for none at the exponent e.
inline void step_of(float top, int64_t bits, const int32_t *tolerance, float *step, float *inverse) {
  const float range = top + 1e-12f;
  int32_t word;
  std::memcpy(&word, &range, 4);
  const int32_t exponent = word >> 23;
  const int32_t power = exponent - 127 + ((word & 0x7fffff) > tolerance[exponent & 255]) + 1 - (int32_t)bits;
  const int32_t up = (127 + power) << 23, down = (127 - power) << 23;
  std::memcpy(step, &up, 4);
  std::memcpy(inverse, &down, 4);
}

inline float quantised(float y, float inverse, float step, float bound) {
  float level = std::floor(y * inverse + 0.5f);
  level = level < -bound ? -bound : level;
  level = level > bound - 1.f ? bound - 1.f : level;
  return level * step;
}

// Quantise `computed` columns of BLOCK positions each, position by position, and add the first `kept` of them to `sum`.
void convert(float *y, int64_t computed, int64_t kept, bool zero, int64_t bits, int64_t rank, const int32_t *tolerance,
             std::vector<float> &ranks, float *sum) {
  float low[BLOCK], high[BLOCK], top[BLOCK], inverse[BLOCK], step[BLOCK];
  for (int l = 0; l < BLOCK; l++) low[l] = high[l] = zero ? 0.f : y[l];
  for (int64_t c = 0; c < computed; c++)
    for (int l = 0; l < BLOCK; l++) {
      const float v = y[c * BLOCK + l];
      low[l] = v < low[l] ? v : low[l];
      high[l] = v > high[l] ? v : high[l];
    }
  for (int l = 0; l < BLOCK; l++) top[l] = high[l] > -low[l] ? high[l] : -low[l];
  if (rank > 0) {  // insert each magnitude into a sorted list of the rank + 1 largest
    ranks.assign((rank + 1) * BLOCK, 0.f);
    for (int64_t c = 0; c < computed; c++) {
      float carried[BLOCK];
      for (int l = 0; l < BLOCK; l++) carried[l] = std::fabs(y[c * BLOCK + l]);
      for (int64_t k = 0; k <= rank; k++)
        for (int l = 0; l < BLOCK; l++) {
          float &held = ranks[k * BLOCK + l];
          const float larger = held > carried[l] ? held : carried[l];
          carried[l] = held > carried[l] ? carried[l] : held;
          held = larger;
        }
    }
    std::memcpy(top, &ranks[rank * BLOCK], sizeof top);
  }
  int constant = 0;
  for (int l = 0; l < BLOCK; l++) {
    step_of(top[l], bits, tolerance, &step[l], &inverse[l]);
    constant |= low[l] == high[l] && low[l] != 0.f;
  }
  const float bound = (float)(1 << (bits - 1));
  if (!constant) {
    for (int64_t c = 0; c < kept; c++)
      for (int l = 0; l < BLOCK; l++) sum[c * BLOCK + l] += quantised(y[c * BLOCK + l], inverse[l], step[l], bound);
  } else {  // a vector of equal currents is left as it is
    for (int64_t c = 0; c < kept; c++)
      for (int l = 0; l < BLOCK; l++) {
        const float v = y[c * BLOCK + l];
        sum[c * BLOCK + l] += low[l] == high[l] ? v : quantised(v, inverse[l], step[l], bound);
      }
  }
}

struct Copy { int64_t lane, length, base; };  // positions whose inputs lie beside each other, a register of them at most

struct Scratch {
  std::vector<float> padded, patches, currents, sum, ranks;
  std::vector<Copy> copies;
};

void at_least(std::vector<float> &buffer, int64_t size) {
  if ((int64_t)buffer.size() < size) buffer.resize(size);
}

// `count` images from `x`, scaled to the limit as MemTorch's naive_scale does, between zeros.
void encode(const Layer &layer, const float *x, int64_t count, float *padded) {
  const int64_t *size = layer.size, *whole = layer.padded, *before = layer.before;
  const int64_t volume = layer.channels * size[0] * size[1] * size[2];
  const int64_t padded_volume = layer.channels * whole[0] * whole[1] * whole[2];
  const bool pads = padded_volume != volume;
  for (int64_t image = 0; image < count; image++) {
    const float *from = x + image * volume;
    float *to = padded + image * padded_volume;
    float range = layer.range;
    if (layer.limit > 0.f && range < 0.f) {
      range = 0.f;
      for (int64_t i = 0; i < volume; i++) range = std::fabs(from[i]) > range ? std::fabs(from[i]) : range;
    }
    const bool scaled = layer.limit > 0.f && range > layer.limit;
    const float span = layer.limit * 2.f, whole_range = range + range, limit = layer.limit;
    if (!pads) {
      if (scaled)
        for (int64_t i = 0; i < volume; i++) to[i] = ((from[i] + range) * span) / whole_range - limit;
      else
        std::memcpy(to, from, sizeof(float) * volume);
      continue;
    }
    std::fill(to, to + padded_volume, scaled ? ((0.f + range) * span) / whole_range - limit : 0.f);
    for (int64_t c = 0; c < layer.channels; c++)
      for (int64_t d = 0; d < size[0]; d++)
        for (int64_t h = 0; h < size[1]; h++) {
          const float *source = from + ((c * size[0] + d) * size[1] + h) * size[2];
          float *target = to + ((c * whole[0] + d + before[0]) * whole[1] + h + before[1]) * whole[2] + before[2];
          if (scaled)
            for (int64_t w = 0; w < size[2]; w++) target[w] = ((source[w] + range) * span) / whole_range - limit;
          else
            std::memcpy(target, source, sizeof(float) * size[2]);
        }
  }
}

// The inputs of `lanes` positions from `first` on, row by row: BLOCK floats a row.
void gather(const Layer &layer, const int64_t *offsets, int64_t first, int64_t lanes, const float *x, std::vector<Copy> &copies,
            float *patches) {
  const int64_t *whole = layer.padded, *out = layer.out, step = layer.stride[2], rows = layer.rows;
  const int64_t positions = out[0] * out[1] * out[2];
  copies.clear();
  for (int64_t lane = 0; lane < lanes;) {
    const int64_t image = (first + lane) / positions, position = (first + lane) % positions;
    const int64_t w = position % out[2], h = position / out[2] % out[1], d = position / (out[2] * out[1]);
    const int64_t base = ((image * layer.channels * whole[0] + d * layer.stride[0]) * whole[1] + h * layer.stride[1]) * whole[2] + w * step;
    const int64_t length = std::min(std::min<int64_t>(LANES, lanes - lane), out[2] - w);
    copies.push_back({lane, length, base});
    lane += length;
  }
  const int64_t count = (int64_t)copies.size();
  const Copy *copy = copies.data();
  if (out[2] == 1) {
    for (int64_t k = 0; k < count; k++)
      for (int64_t r = 0; r < rows; r++) patches[r * BLOCK + copy[k].lane] = x[copy[k].base + offsets[r]];
  } else if (step == 1) {  // whole registers; what runs over is overwritten by the next copy, or unused
    for (int64_t r = 0; r < rows; r++) {
      const float *from = x + offsets[r];
      float *to = patches + r * BLOCK;
      for (int64_t k = 0; k < count; k++) store(to + copy[k].lane, load(from + copy[k].base));
    }
  } else {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t k = 0; k < count; k++) {
        const float *from = x + copy[k].base + offsets[r];
        float *to = patches + r * BLOCK + copy[k].lane;
        for (int64_t l = 0; l < copy[k].length; l++) to[l] = from[l * step];
      }
  }
}

}  // namespace

extern "C" {

// out[image][column][position] = gain * sum over tile rows of ADC(patches x weights) + offset + bias[column]
void membench_product(const Layer *given, const float *x, const float *weights, const float *bias, const int32_t *tolerance,
                      float *out, int64_t threads) {
  const Layer layer = *given;
  const int64_t positions = layer.out[0] * layer.out[1] * layer.out[2];
  const int64_t volume = layer.channels * layer.size[0] * layer.size[1] * layer.size[2];
  const int64_t padded_volume = layer.channels * layer.padded[0] * layer.padded[1] * layer.padded[2];
  const int64_t together = std::max<int64_t>(1, BLOCK / positions);  // images of a task: enough to fill a block
  const int64_t tasks = (layer.images + together - 1) / together;
  std::vector<int64_t> offsets;
  for (int64_t c = 0; c < layer.channels; c++)
    for (int64_t d = 0; d < layer.kernel[0]; d++)
      for (int64_t h = 0; h < layer.kernel[1]; h++)
        for (int64_t w = 0; w < layer.kernel[2]; w++)
          offsets.push_back(((c * layer.padded[0] + d * layer.dilation[0]) * layer.padded[1] + h * layer.dilation[1]) *
                                layer.padded[2] + w * layer.dilation[2]);
#pragma omp parallel num_threads((int)std::min(threads, tasks))
  {
    static thread_local Scratch kept;  // fresh pages at every call would cost more than the product
    Scratch &scratch = kept;
    at_least(scratch.padded, together * padded_volume + LANES);
    at_least(scratch.patches, layer.rows * BLOCK + LANES);
    at_least(scratch.currents, layer.width * BLOCK);
    at_least(scratch.sum, layer.columns * BLOCK);
    float *padded = scratch.padded.data(), *all_patches = scratch.patches.data();
    float *sum = scratch.sum.data(), *currents = scratch.currents.data();
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
      const int64_t start = task * together, images = std::min(together, layer.images - start);
      encode(layer, x + start * volume, images, padded);
      for (int64_t first = 0; first < images * positions; first += BLOCK) {
        const int64_t lanes = std::min<int64_t>(BLOCK, images * positions - first);
        const int vectors = (int)((lanes + LANES - 1) / LANES);
        gather(layer, offsets.data(), first, lanes, padded, scratch.copies, all_patches);
        std::fill(sum, sum + layer.columns * BLOCK, 0.f);
        for (int64_t row = 0; row < layer.rows; row += layer.tile_rows) {
          const int64_t rows = std::min(layer.tile_rows, layer.rows - row);
          const float *patches = all_patches + row * BLOCK, *w = weights + row * layer.width;
          for (int64_t column = 0; column < layer.columns; column += layer.tile_columns) {
            const bool last = column + layer.tile_columns >= layer.columns;
            const int64_t kept = last ? layer.columns - column : layer.tile_columns;
            const int64_t computed = last ? layer.width - column : layer.tile_columns;
            products(patches, w + column, rows, layer.width, computed, vectors, currents);
            convert(currents, computed, kept, last && layer.zero_padding, layer.bits, layer.rank, tolerance, scratch.ranks,
                    sum + column * BLOCK);
          }
        }
        for (int64_t c = 0; c < layer.columns; c++) {
          float *v = sum + c * BLOCK;
          const float b = bias ? bias[c] : 0.f;
          for (int l = 0; l < BLOCK; l++) {
            v[l] = v[l] * layer.gain;
            v[l] = v[l] + layer.offset;
          }
          if (bias)
            for (int l = 0; l < BLOCK; l++) v[l] = v[l] + b;
          for (int64_t lane = 0; lane < lanes;) {
            const int64_t image = (first + lane) / positions, position = (first + lane) % positions;
            const int64_t length = std::min(lanes - lane, positions - position);
            std::memcpy(out + ((start + image) * layer.columns + c) * positions + position, v + lane, sizeof(float) * length);
            lane += length;
          }
        }
      }
    }
  }
}

// The ADC of a layer without tiles: one range for a whole vector (an image's outputs, or a batch's), then gain, offset and bias.
void membench_convert(float *y, int64_t vectors, int64_t images, int64_t columns, int64_t positions, int64_t bits,
                      const int32_t *tolerance, float gain, float offset, const float *bias, int64_t threads) {
  const int64_t length = images * columns * positions;
#pragma omp parallel for schedule(static) num_threads((int)std::min(threads, vectors))
  for (int64_t vector = 0; vector < vectors; vector++) {
    float *v = y + vector * length;
    float low = v[0], high = v[0], step, inverse;
    for (int64_t i = 0; i < length; i++) {
      low = v[i] < low ? v[i] : low;
      high = v[i] > high ? v[i] : high;
    }
    step_of(high > -low ? high : -low, bits, tolerance, &step, &inverse);
    const float bound = (float)(1 << (bits - 1));
    const bool constant = low == high;
    for (int64_t image = 0; image < images; image++)
      for (int64_t c = 0; c < columns; c++) {
        float *line = v + (image * columns + c) * positions;
        const float b = bias ? bias[c] : 0.f;
        for (int64_t i = 0; i < positions; i++) {
          float value = constant ? line[i] : quantised(line[i], inverse, step, bound);
          value = value * gain;
          value = value + offset;
          line[i] = bias ? value + b : value;
        }
      }
  }
}

// torch's CPU generator as a stream of uniform numbers; `state` holds a std::mt19937.
int64_t membench_stream_size() { return sizeof(std::mt19937); }

void membench_stream_seed(void *state, uint64_t seed) { new (state) std::mt19937((uint32_t)seed); }

// The next `count` numbers of U(low, high) after `skip` others, as uniform_ computes them in single precision.
void membench_stream_uniform(void *state, uint64_t skip, int64_t count, float low, float high, float *out) {
  std::mt19937 &generator = *static_cast<std::mt19937 *>(state);
  generator.discard(skip);
  for (int64_t i = 0; i < count; i++) {
    const float unit = (float)(generator() & 0xffffffu) * 0x1p-24f;
    out[i] = unit * (high - low) + low;
  }
}

}
