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
constexpr int LANES = 16, COLUMNS = 8, GROUPS = 2;
static inline Lanes load(const float *p) { return _mm512_loadu_ps(p); }
static inline void store(float *p, Lanes v) { _mm512_storeu_ps(p, v); }
static inline Lanes all(float v) { return _mm512_set1_ps(v); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
static inline Lanes root(Lanes v) { return _mm512_sqrt_ps(v); }
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
using Lanes = __m256;
constexpr int LANES = 8, COLUMNS = 4, GROUPS = 1;
static inline Lanes load(const float *p) { return _mm256_loadu_ps(p); }
static inline void store(float *p, Lanes v) { _mm256_storeu_ps(p, v); }
static inline Lanes all(float v) { return _mm256_set1_ps(v); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
static inline Lanes root(Lanes v) { return _mm256_sqrt_ps(v); }
#elif defined(__ARM_NEON)
#include <arm_neon.h>
using Lanes = float32x4_t;
constexpr int LANES = 4, COLUMNS = 8, GROUPS = 2;
static inline Lanes load(const float *p) { return vld1q_f32(p); }
static inline void store(float *p, Lanes v) { vst1q_f32(p, v); }
static inline Lanes all(float v) { return vdupq_n_f32(v); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return vfmaq_f32(c, a, b); }
#else
typedef float Lanes __attribute__((vector_size(16)));
constexpr int LANES = 4, COLUMNS = 4, GROUPS = 1;
static inline Lanes load(const float *p) { Lanes v; std::memcpy(&v, p, sizeof v); return v; }
static inline void store(float *p, Lanes v) { std::memcpy(p, &v, sizeof v); }
static inline Lanes all(float v) { return Lanes{v, v, v, v}; }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return c + a * b; }
#endif
#if !defined(__AVX512F__) && !(defined(__AVX2__) && defined(__FMA__))
static inline Lanes root(Lanes v) {
  for (int i = 0; i < LANES; i++) v[i] = std::sqrt(v[i]);
  return v;
}
#endif

// The same register as whole numbers: of 32 bits, or half as many of 64.
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef int32_t Signed __attribute__((vector_size(4 * LANES)));
typedef uint64_t Longs __attribute__((vector_size(4 * LANES)));

// Products of the lower halves. Left to itself a compiler takes the whole 64 x 64 bits, which costs three times as much.
static inline Longs multiply_low(Longs a, Longs b) {
#if defined(__AVX512F__)
  return (Longs)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__) && defined(__FMA__)
  return (Longs)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__ARM_NEON)
  return (Longs)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}
static inline Lanes as_floats(Signed v) { return (Lanes)__builtin_convertvector(v, Lanes); }
// Rounded once: both halves and the larger one's multiple are exact.
static inline Lanes as_floats(Words v) {
#if defined(__AVX512F__)
  return _mm512_cvtepu32_ps((__m512i)v);
#else
  return as_floats((Signed)(v >> 16)) * all(65536.f) + as_floats((Signed)(v & 0xffffu));
#endif
}

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
  float step;            // of the ADC, where its range is fixed; 0: it is taken from each vector
  float deviation;       // read noise: what the root of a sum of squared voltages times `variances` is worth, in amperes
  int64_t seed;          // of the noise
  int64_t first;         // number of the first image, which the noise depends on
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

// Read noise: the current of a bit line gets sqrt(sum of v^2 s) z, where z is a standard normal number that only the seed and
// the output's place decide. Philox4x32-10 (Salmon et al., SC 2011) gives four words for the place (image, position, tile row,
// column group of 4), and Box-Muller a normal number for each word. philox.py does the same in torch.

struct Seed {  // the keys of all rounds
  uint64_t low[10], high[10];
  explicit Seed(uint64_t seed) {
    uint32_t a = (uint32_t)seed, b = (uint32_t)(seed >> 32);
    for (int i = 0; i < 10; i++, a += 0x9e3779b9u, b += 0xbb67ae85u) low[i] = a, high[i] = b;
  }
};

// Each word has 64 bits of a register to itself, of which the upper half is rubbish: a round is then two products, no shuffles.
// N counters at once, as everything here: one alone would wait for its own results most of the time.
template <int N>
static inline void philox(const Seed &seed, Longs (&word)[4][N]) {
  const Longs first = Longs{} + 0xd2511f53u, second = Longs{} + 0xcd9e8d57u;
  for (int i = 0; i < 10; i++)
    for (int k = 0; k < N; k++) {
      const Longs p = multiply_low(word[0][k], first), q = multiply_low(word[2][k], second);
      word[0][k] = (q >> 32) ^ word[1][k] ^ seed.low[i];
      word[1][k] = q;
      word[2][k] = (p >> 32) ^ word[3][k] ^ seed.high[i];
      word[3][k] = p;
    }
}

static inline Words both(Longs even, Longs odd) { return (Words)((even & 0xffffffffu) | (odd << 32)); }

template <int T, int N>
static inline void polynomial(const float (&terms)[T], const Lanes (&x)[N], Lanes (&sum)[N]) {  // the highest power comes first
  for (int k = 0; k < N; k++) sum[k] = all(terms[0]);
  for (int i = 1; i < T; i++)
    for (int k = 0; k < N; k++) sum[k] = multiply_add(sum[k], x[k], all(terms[i]));
}

// -2 ln((u + 0.5) / 2^32), to 1e-7 of its size.
template <int N>
static inline void squared_radius(const Words (&u)[N], Lanes (&out)[N]) {
  static constexpr float terms[] = {-0.17444710433483124f, 0.2873368561267853f, -0.2990453243255615f,
                                    0.33124786615371704f,  -0.39913666248321533f, 0.5000414848327637f,
                                    -0.6666837334632874f,  0.9999997615814209f, -2.f};
  Lanes x[N], exponent[N], sum[N];
  for (int k = 0; k < N; k++) {
    const Words word = (Words)(as_floats(u[k]) + all(0.5f));
    const Signed power = (Signed)(word - 0x3f3504f3u) >> 23;  // the mantissa is taken from sqrt(1/2) to sqrt(2)
    x[k] = (Lanes)(word - (Words)(power << 23)) - all(1.f);
    exponent[k] = as_floats(power - 32);
  }
  polynomial(terms, x, sum);
  for (int k = 0; k < N; k++) out[k] = multiply_add(exponent[k], all(-1.3862943611198906f), sum[k] * x[k]);
}

// Cosine and sine of 2 pi u / 2^32, to 1e-7: in the nearest quarter of the circle, then turned.
template <int N>
static inline void direction(const Words (&u)[N], Lanes (&cosine)[N], Lanes (&sine)[N]) {
  static constexpr float even[] = {-0.02039858140051365f, 0.25359493494033813f, -1.233696699142456f, 1.f};
  static constexpr float odd[] = {-0.00460165785625577f, 0.07968003302812576f, -0.6459634900093079f, 1.5707963705062866f};
  Lanes x[N], square[N];
  for (int k = 0; k < N; k++) {
    x[k] = as_floats((Signed)(((u[k] + 0x20000000u) & 0x3fffffffu) - 0x20000000u)) * all(0x1p-30f);
    square[k] = x[k] * x[k];
  }
  polynomial(even, square, cosine);
  polynomial(odd, square, sine);
  for (int k = 0; k < N; k++) {
    const Words turned = u[k] + 0x20000000u, swap = (Words)((Signed)(turned << 1) >> 31);
    const Words a = (Words)cosine[k], b = (Words)(sine[k] * x[k]);
    cosine[k] = (Lanes)(((a & ~swap) | (b & swap)) ^ ((turned + 0x40000000u) & 0x80000000u));
    sine[k] = (Lanes)(((b & ~swap) | (a & swap)) ^ (turned & 0x80000000u));
  }
}

// What `disturb` does to G groups of 4 columns, of which the first begins `at` columns after those of `variance` and `y`.
template <int G>
static inline void disturb_groups(const Seed &seed, Longs image, Longs position, Longs row, int64_t group, int64_t at,
                                  int64_t count, float deviation, const float *variance, float *y, int64_t apart) {
  const Seed *keys = &seed;  // read at each use: gcc would copy all keys to whole registers first, and these to the stack
  __asm__ volatile("" : "+r"(keys));
  Longs word[4][2 * G];
  for (int k = 0; k < 2 * G; k++) {  // the even positions, then the odd ones
    word[0][k] = image >> (k % 2 * 32);
    word[1][k] = position >> (k % 2 * 32);
    word[2][k] = row;
    word[3][k] = Longs{} + (uint32_t)(group + k / 2);
  }
  philox(*keys, word);
  Words distance[2 * G], angle[2 * G];
  for (int k = 0; k < 2 * G; k++) {
    distance[k] = both(word[k % 2 * 2][k / 2 * 2], word[k % 2 * 2][k / 2 * 2 + 1]);
    angle[k] = both(word[k % 2 * 2 + 1][k / 2 * 2], word[k % 2 * 2 + 1][k / 2 * 2 + 1]);
  }
  Lanes radius[2 * G], side[2][2 * G];
  squared_radius(distance, radius);
  direction(angle, side[0], side[1]);
  const auto add = [&](int k) {
    float *to = y + (at + k) * apart;
    const Lanes size = root(radius[k / 2] * load(variance + (at + k) * apart)) * all(deviation);
    store(to, multiply_add(size, side[k % 2][k / 2], load(to)));
  };
  if (at >= 0 && at + 4 * G <= count)
    for (int k = 0; k < 4 * G; k++) add(k);
  else
    for (int k = 0; k < 4 * G; k++)
      if (at + k >= 0 && at + k < count) add(k);
}

// Adds noise to the currents of `count` bit lines from `column` on, whose registers lie `apart` floats from each other.
// `variance`: their sums of v^2 s, laid out alike.
void disturb(const Seed &seed, Words image, Words position, int64_t tile_row, int64_t column, int64_t count, float deviation,
             const float *variance, float *y, int64_t apart) {
  const Longs row = Longs{} + (uint32_t)tile_row;
  const int64_t groups = (column + count + 3) / 4;
  int64_t group = column / 4;
  for (; group + GROUPS <= groups; group += GROUPS)
    disturb_groups<GROUPS>(seed, (Longs)image, (Longs)position, row, group, group * 4 - column, count, deviation, variance, y,
                          apart);
  for (; group < groups; group++)
    disturb_groups<1>(seed, (Longs)image, (Longs)position, row, group, group * 4 - column, count, deviation, variance, y,
                     apart);
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

// The same for a range that does not depend on the currents.
void convert_fixed(const float *y, int64_t kept, int64_t bits, float step, float *sum) {
  const float bound = (float)(1 << (bits - 1)), inverse = 1.f / step;
  for (int64_t i = 0; i < kept * BLOCK; i++) sum[i] += quantised(y[i], inverse, step, bound);
}

// Quantise `computed` columns of BLOCK positions each, position by position, and add the first `kept` of them to `sum`.
// Out of line: beside the noise's code in one function it would take 2 % more time.
[[gnu::noinline]] void convert(float *y, int64_t computed, int64_t kept, bool zero, int64_t bits, int64_t rank,
                               const int32_t *tolerance, std::vector<float> &ranks, float *sum) {
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
  std::vector<float> padded, patches, squares, currents, variances, sum, ranks;
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
// `variances` (rows, columns) or null: of each device's read noise, in units of the layer's deviation squared.
void membench_product(const Layer *given, const float *x, const float *weights, const float *variances, const float *bias,
                      const int32_t *tolerance, float *out, int64_t threads) {
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
  const Seed seed((uint64_t)layer.seed);
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
    float *squares = nullptr, *spread = nullptr;
    if (variances) {
      at_least(scratch.squares, std::min(layer.rows, layer.tile_rows) * BLOCK);
      at_least(scratch.variances, std::min(layer.columns, layer.tile_columns) * BLOCK);
      squares = scratch.squares.data(), spread = scratch.variances.data();
    }
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
      const int64_t start = task * together, images = std::min(together, layer.images - start);
      encode(layer, x + start * volume, images, padded);
      for (int64_t first = 0; first < images * positions; first += BLOCK) {
        const int64_t lanes = std::min<int64_t>(BLOCK, images * positions - first);
        const int vectors = (int)((lanes + LANES - 1) / LANES);
        gather(layer, offsets.data(), first, lanes, padded, scratch.copies, all_patches);
        std::fill(sum, sum + layer.columns * BLOCK, 0.f);
        uint32_t image_of[BLOCK], position_of[BLOCK];
        if (variances)
          for (int64_t l = 0; l < BLOCK; l++) {
            image_of[l] = (uint32_t)(layer.first + start + (first + l) / positions);
            position_of[l] = (uint32_t)((first + l) % positions);
          }
        for (int64_t row = 0; row < layer.rows; row += layer.tile_rows) {
          const int64_t rows = std::min(layer.tile_rows, layer.rows - row);
          const float *patches = all_patches + row * BLOCK, *w = weights + row * layer.width;
          if (variances)
            for (int64_t i = 0; i < rows * BLOCK; i += LANES) {
              const Lanes v = load(patches + i);
              store(squares + i, v * v);
            }
          for (int64_t column = 0; column < layer.columns; column += layer.tile_columns) {
            const bool last = column + layer.tile_columns >= layer.columns;
            const int64_t kept = last ? layer.columns - column : layer.tile_columns;
            const int64_t computed = last ? layer.width - column : layer.tile_columns;
            products(patches, w + column, rows, layer.width, computed, vectors, currents);
            if (variances) {
              products(squares, variances + row * layer.columns + column, rows, layer.columns, kept, vectors, spread);
              for (int v = 0; v < vectors; v++) {
                Words image, position;
                std::memcpy(&image, image_of + v * LANES, sizeof image);
                std::memcpy(&position, position_of + v * LANES, sizeof position);
                disturb(seed, image, position, row / layer.tile_rows, column, kept, layer.deviation, spread + v * LANES,
                        currents + v * LANES, BLOCK);
              }
            }
            if (layer.step > 0.f)
              convert_fixed(currents, kept, layer.bits, layer.step, sum + column * BLOCK);
            else
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

// Read noise of a layer whose tiles have no ADC: y += deviation * sqrt(variance) * z, both (images, columns, positions).
void membench_disturb(float *y, const float *variance, int64_t images, int64_t columns, int64_t positions, float deviation,
                      int64_t given, int64_t first, int64_t threads) {
  const Seed seed((uint64_t)given);
  const int64_t lines = images * positions, pieces = (lines + LANES - 1) / LANES;
#pragma omp parallel num_threads((int)std::min(threads, pieces))
  {
    std::vector<float> currents(columns * LANES), spread(columns * LANES);
#pragma omp for schedule(static)
    for (int64_t piece = 0; piece < pieces; piece++) {
      const int64_t lanes = std::min<int64_t>(LANES, lines - piece * LANES);
      int64_t start[LANES];
      Words image{}, position{};
      for (int64_t l = 0; l < lanes; l++) {
        const int64_t line = piece * LANES + l;
        image[l] = (uint32_t)(first + line / positions);
        position[l] = (uint32_t)(line % positions);
        start[l] = line / positions * columns * positions + line % positions;
      }
      for (int64_t c = 0; c < columns; c++)
        for (int64_t l = 0; l < lanes; l++) {
          currents[c * LANES + l] = y[start[l] + c * positions];
          spread[c * LANES + l] = variance[start[l] + c * positions];
        }
      disturb(seed, image, position, 0, 0, columns, deviation, spread.data(), currents.data(), LANES);
      for (int64_t c = 0; c < columns; c++)
        for (int64_t l = 0; l < lanes; l++) y[start[l] + c * positions] = currents[c * LANES + l];
    }
  }
}

// Four words for each counter (count, 4): Philox4x32-10 as `disturb` uses it, for tests.
void membench_philox(const uint32_t *counters, int64_t count, int64_t given, uint32_t *words) {
  const Seed seed((uint64_t)given);
  for (int64_t i = 0; i < count; i++) {
    Longs word[4][1];
    for (int k = 0; k < 4; k++) word[k][0] = Longs{} + counters[i * 4 + k];
    philox(seed, word);
    for (int k = 0; k < 4; k++) words[i * 4 + k] = (uint32_t)word[k][0][0];
  }
}

// The ADC of a layer without tiles: one range for a whole vector (an image's outputs, or a batch's), then gain, offset and bias.
// `fixed`: the step where the range is fixed, else 0.
void membench_convert(float *y, int64_t vectors, int64_t images, int64_t columns, int64_t positions, int64_t bits,
                      const int32_t *tolerance, float gain, float offset, const float *bias, float fixed, int64_t threads) {
  const int64_t length = images * columns * positions;
#pragma omp parallel for schedule(static) num_threads((int)std::min(threads, vectors))
  for (int64_t vector = 0; vector < vectors; vector++) {
    float *v = y + vector * length;
    float step = fixed, inverse = 1.f / fixed;
    bool constant = false;
    if (!(fixed > 0.f)) {
      float low = v[0], high = v[0];
      for (int64_t i = 0; i < length; i++) {
        low = v[i] < low ? v[i] : low;
        high = v[i] > high ? v[i] : high;
      }
      step_of(high > -low ? high : -low, bits, tolerance, &step, &inverse);
      constant = low == high;
    }
    const float bound = (float)(1 << (bits - 1));
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
