// The recurrence of RWKV-7 on a CPU, forward and backward.
//
// Per head, with S[key j][value i] (a row a key, so that vectors run over values):
//   if reset[t]: S = 0
//   sa[i] = sum_j a[j] S[j][i]
//   S[j][i] = w[j] S[j][i] + k[j] v[i] + b[j] sa[i]
//   y[i] = sum_j r[j] S[j][i]
// r, w, k, v, a, b, y are [lanes][steps][heads][N]; states are [lanes][heads][N][N]; resets are [lanes][steps].
//
// The forward pass keeps the state at the start of every block of BLOCK steps; the backward pass computes the states
// in between once more, from the last block to the first. The gradient is held twice, as [key][value] and as
// [value][key], so that every sum of the backward pass runs over vectors and none across one.
//
// Vectors are GCC's (Clang has them too): 16 floats, which the compiler splits where the machine's are shorter.

#include <cstdint>
#include <cstring>

namespace {

constexpr int WIDTH = 16;
constexpr int BLOCK = 16;

typedef float Vec __attribute__((vector_size(WIDTH * sizeof(float))));
typedef float VecAt __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4)));

inline Vec load(const float *p) { return *reinterpret_cast<const VecAt *>(p); }
inline void store(float *p, Vec v) { *reinterpret_cast<VecAt *>(p) = v; }

struct Shape {
    long lanes, steps, heads;
    long blocks() const { return (steps + BLOCK - 1) / BLOCK; }
};

struct Inputs {
    const float *r, *w, *k, *v, *a, *b;
};

struct Grads {
    float *r, *w, *k, *v, *a, *b;
};

// One step forward in 16 values; `s` points at their first column.
template <int N>
inline void step(float *s, const Inputs &in, long at, int column, float *sa_out, float *y_out) {
    Vec even{}, odd{};
    for (int j = 0; j < N; j += 2) {
        even += load(s + j * N) * in.a[at + j];
        odd += load(s + j * N + N) * in.a[at + j + 1];
    }
    const Vec sa = even + odd, v = load(in.v + at + column);
    store(sa_out, sa);
    even = odd = Vec{};
    for (int j = 0; j < N; j += 2) {
        const Vec x = load(s + j * N) * in.w[at + j] + v * in.k[at + j] + sa * in.b[at + j];
        const Vec z = load(s + j * N + N) * in.w[at + j + 1] + v * in.k[at + j + 1] + sa * in.b[at + j + 1];
        store(s + j * N, x);
        store(s + j * N + N, z);
        even += x * in.r[at + j];
        odd += z * in.r[at + j + 1];
    }
    store(y_out, even + odd);
}

template <int N>
void forward_head(const Shape &shape, long lane, long head, const Inputs &in, const float *start, const uint8_t *reset,
                  float *y, float *end, float *blocks, float *sa) {
    const long index = lane * shape.heads + head;
    alignas(64) float s[N * N];
    memcpy(s, start + index * N * N, sizeof s);
    for (long t = 0; t < shape.steps; t++) {
        const long at = ((lane * shape.steps + t) * shape.heads + head) * N;
        if (t % BLOCK == 0) memcpy(blocks + (index * shape.blocks() + t / BLOCK) * N * N, s, sizeof s);
        if (reset[lane * shape.steps + t]) memset(s, 0, sizeof s);
        for (int i = 0; i < N; i += WIDTH) step<N>(s + i, in, at, i, sa + at + i, y + at + i);
    }
    memcpy(end + index * N * N, s, sizeof s);
}

// What the backward pass of a head holds: the states of a block, [value][key], and the gradient of the state.
template <int N>
struct Room {
    alignas(64) float states[BLOCK + 1][N * N];
    alignas(64) float zeros[N * N];
    alignas(64) float by_key[N * N];
    alignas(64) float by_value[N * N];
    alignas(64) float d_sa[N];
};

// The states of a block once more, as [value][key]; states[n] is the one before step n, not yet reset.
template <int N>
void recompute(Room<N> &room, const float *start, const Inputs &in, const float *sa, const uint8_t *reset, long at,
               long stride, int steps) {
    for (int j = 0; j < N; j++)
        for (int i = 0; i < N; i++) room.states[0][i * N + j] = start[j * N + i];
    for (int n = 0; n < steps; n++, at += stride) {
        const float *before = reset[n] ? room.zeros : room.states[n];
        float *after = room.states[n + 1];
        for (int j = 0; j < N; j += WIDTH) {
            const Vec w = load(in.w + at + j), k = load(in.k + at + j), b = load(in.b + at + j);
            for (int i = 0; i < N; i++)
                store(after + i * N + j, load(before + i * N + j) * w + k * in.v[at + i] + b * sa[at + i]);
        }
    }
}

// The half of a step backward that runs over values: the gradients of v and sa, and the state's as [key][value].
template <int N>
inline void back_values(Room<N> &room, const Inputs &in, const float *dy, long at, const Grads &out) {
    for (int i = 0; i < N; i += WIDTH) {
        float *g = room.by_key + i;
        const Vec d = load(dy + at + i);
        Vec dv0{}, dv1{}, ds0{}, ds1{};
        for (int j = 0; j < N; j += 2) {
            const Vec x = load(g + j * N) + d * in.r[at + j];
            const Vec z = load(g + j * N + N) + d * in.r[at + j + 1];
            store(g + j * N, x);
            store(g + j * N + N, z);
            dv0 += x * in.k[at + j];
            dv1 += z * in.k[at + j + 1];
            ds0 += x * in.b[at + j];
            ds1 += z * in.b[at + j + 1];
        }
        const Vec ds = ds0 + ds1;
        store(out.v + at + i, dv0 + dv1);
        store(room.d_sa + i, ds);
        for (int j = 0; j < N; j++) store(g + j * N, load(g + j * N) * in.w[at + j] + ds * in.a[at + j]);
    }
}

// The other half, over keys: the gradients of r, w, k, a, b, and the state's as [value][key].
template <int N>
inline void back_keys(Room<N> &room, const float *before, const float *after, const Inputs &in, const float *sa,
                      const float *dy, long at, const Grads &out) {
    for (int j = 0; j < N; j += WIDTH) {
        const Vec r = load(in.r + at + j), w = load(in.w + at + j), a = load(in.a + at + j);
        Vec dr{}, dw{}, dk{}, da{}, db{};
        for (int i = 0; i < N; i++) {
            float *g = room.by_value + i * N + j;
            const Vec p = load(before + i * N + j);
            const Vec x = load(g) + r * dy[at + i];
            dr += load(after + i * N + j) * dy[at + i];
            dk += x * in.v[at + i];
            db += x * sa[at + i];
            dw += x * p;
            da += p * room.d_sa[i];
            store(g, x * w + a * room.d_sa[i]);
        }
        store(out.r + at + j, dr);
        store(out.w + at + j, dw);
        store(out.k + at + j, dk);
        store(out.a + at + j, da);
        store(out.b + at + j, db);
    }
}

template <int N>
void backward_head(const Shape &shape, long lane, long head, const Inputs &in, const float *dy, const float *blocks,
                   const float *sa, const uint8_t *reset, const Grads &out) {
    Room<N> room;
    memset(room.zeros, 0, sizeof room.zeros);
    memset(room.by_key, 0, sizeof room.by_key);
    memset(room.by_value, 0, sizeof room.by_value);
    const long stride = shape.heads * N;
    for (long block = shape.blocks() - 1; block >= 0; block--) {
        const long first = lane * shape.steps + block * BLOCK, at = first * stride + head * N;
        const long left = shape.steps - block * BLOCK;
        const int steps = left < BLOCK ? left : BLOCK;
        const float *start = blocks + ((lane * shape.heads + head) * shape.blocks() + block) * N * N;
        recompute<N>(room, start, in, sa, reset + first, at, stride, steps);
        for (int n = steps - 1; n >= 0; n--) {
            const bool fresh = reset[first + n];
            back_values<N>(room, in, dy, at + n * stride, out);
            back_keys<N>(room, fresh ? room.zeros : room.states[n], room.states[n + 1], in, sa, dy, at + n * stride,
                         out);
            if (fresh) {
                memset(room.by_key, 0, sizeof room.by_key);
                memset(room.by_value, 0, sizeof room.by_value);
            }
        }
    }
}

// Calls `f(lane, head)` for every head of every lane.
template <class F>
void each_head(const Shape &shape, int threads, F f) {
    const long count = shape.lanes * shape.heads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long n = 0; n < count; n++) f(n / shape.heads, n % shape.heads);
}

} // namespace

// Both return 0, or 1 for a head size that is not built in.
extern "C" int wkv_forward(long lanes, long steps, long heads, int head_size, int threads, const float *r,
                           const float *w, const float *k, const float *v, const float *a, const float *b,
                           const float *start, const uint8_t *reset, float *y, float *end, float *blocks, float *sa) {
    const Shape shape{lanes, steps, heads};
    const Inputs in{r, w, k, v, a, b};
    if (head_size != 32 && head_size != 64) return 1;
    each_head(shape, threads, [&](long lane, long head) {
        (head_size == 32 ? forward_head<32> : forward_head<64>)(shape, lane, head, in, start, reset, y, end, blocks,
                                                                sa);
    });
    return 0;
}

extern "C" int wkv_backward(long lanes, long steps, long heads, int head_size, int threads, const float *r,
                            const float *w, const float *k, const float *v, const float *a, const float *b,
                            const float *dy, const float *blocks, const float *sa, const uint8_t *reset, float *dr,
                            float *dw, float *dk, float *dv, float *da, float *db) {
    const Shape shape{lanes, steps, heads};
    const Inputs in{r, w, k, v, a, b};
    const Grads out{dr, dw, dk, dv, da, db};
    if (head_size != 32 && head_size != 64) return 1;
    each_head(shape, threads, [&](long lane, long head) {
        (head_size == 32 ? backward_head<32> : backward_head<64>)(shape, lane, head, in, dy, blocks, sa, reset, out);
    });
    return 0;
}
