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

// Two vectors at once, so that they share what is broadcast.
constexpr int PAIR = 2 * WIDTH;
struct Two {
    Vec low, high;
};
inline Two load2(const float *p) { return {load(p), load(p + WIDTH)}; }
inline void store2(float *p, Two v) {
    store(p, v.low);
    store(p + WIDTH, v.high);
}
inline Two operator*(Two a, float b) { return {a.low * b, a.high * b}; }
inline Two operator*(Two a, Two b) { return {a.low * b.low, a.high * b.high}; }
inline Two operator+(Two a, Two b) { return {a.low + b.low, a.high + b.high}; }

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

// One step forward in two vectors of values; `s` points at their first column.
template <int N>
inline void step(float *__restrict s, const Inputs &in, long at, int column, float *sa_out, float *y_out) {
    const float *r = in.r + at, *w = in.w + at, *k = in.k + at, *a = in.a + at, *b = in.b + at;
    Two even{}, odd{};
#pragma GCC unroll 4
    for (int j = 0; j < N; j += 2) {
        even = even + load2(s + j * N) * a[j];
        odd = odd + load2(s + j * N + N) * a[j + 1];
    }
    const Two sa = even + odd, v = load2(in.v + at + column);
    store2(sa_out, sa);
    even = odd = Two{};
#pragma GCC unroll 4
    for (int j = 0; j < N; j += 2) {
        const Two x = load2(s + j * N) * w[j] + v * k[j] + sa * b[j];
        const Two z = load2(s + j * N + N) * w[j + 1] + v * k[j + 1] + sa * b[j + 1];
        store2(s + j * N, x);
        store2(s + j * N + N, z);
        even = even + x * r[j];
        odd = odd + z * r[j + 1];
    }
    store2(y_out, even + odd);
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
        for (int i = 0; i < N; i += PAIR) step<N>(s + i, in, at, i, sa + at + i, y + at + i);
    }
    memcpy(end + index * N * N, s, sizeof s);
}

// What the backward pass of a head holds: the states of a block, [value][key], and the gradient of the state.
// `by_key` is one step behind: what step t hands to step t - 1 is computed there, from `next`'s w and a and d_sa.
template <int N>
struct Room {
    alignas(64) float states[BLOCK + 1][N * N];
    alignas(64) float zeros[N * N];
    alignas(64) float by_key[N * N];
    alignas(64) float by_value[N * N];
    alignas(64) float d_sa[N];
    const float *next_w, *next_a;

    void clear() {
        memset(by_key, 0, sizeof by_key);
        memset(by_value, 0, sizeof by_value);
        memset(d_sa, 0, sizeof d_sa);
        next_w = next_a = zeros;
    }
};

// The states of a block once more, as [value][key], and the gradient of r, which needs only them; states[n] is the
// one before step n, not yet reset.
template <int N>
void recompute(Room<N> &room, const float *start, const Inputs &in, const float *sa, const float *dy,
               const uint8_t *reset, long at, long stride, int steps, float *__restrict dr) {
    for (int j = 0; j < N; j++)
        for (int i = 0; i < N; i++) room.states[0][i * N + j] = start[j * N + i];
    for (int n = 0; n < steps; n++, at += stride) {
        const float *before = reset[n] ? room.zeros : room.states[n];
        float *__restrict after = room.states[n + 1];
        for (int j = 0; j < N; j += PAIR) {
            const Two w = load2(in.w + at + j), k = load2(in.k + at + j), b = load2(in.b + at + j);
            Two sum{};
#pragma GCC unroll 4
            for (int i = 0; i < N; i++) {
                const Two x = load2(before + i * N + j) * w + k * in.v[at + i] + b * sa[at + i];
                store2(after + i * N + j, x);
                sum = sum + x * dy[at + i];
            }
            store2(dr + at + j, sum);
        }
    }
}

// The half of a step backward that runs over values: the gradients of v and sa, and the state's as [key][value].
template <int N>
inline void back_values(Room<N> &room, const Inputs &in, const float *dy, long at, const Grads &out) {
    const float *r = in.r + at, *k = in.k + at, *b = in.b + at, *w = room.next_w, *a = room.next_a;
    for (int i = 0; i < N; i += PAIR) {
        float *__restrict g = room.by_key + i;
        const Two d = load2(dy + at + i), ds_next = load2(room.d_sa + i);
        Two dv{}, ds{};
#pragma GCC unroll 4
        for (int j = 0; j < N; j++) {
            const Two x = load2(g + j * N) * w[j] + ds_next * a[j] + d * r[j];
            store2(g + j * N, x);
            dv = dv + x * k[j];
            ds = ds + x * b[j];
        }
        store2(out.v + at + i, dv);
        store2(room.d_sa + i, ds);
    }
    room.next_w = in.w + at;
    room.next_a = in.a + at;
}

// The other half, over keys: the gradients of w, k, a, b, and the state's as [value][key].
template <int N>
inline void back_keys(Room<N> &room, const float *before, const Inputs &in, const float *sa, const float *dy, long at,
                      const Grads &out) {
    for (int j = 0; j < N; j += PAIR) {
        const Two r = load2(in.r + at + j), w = load2(in.w + at + j), a = load2(in.a + at + j);
        Two dw{}, dk{}, da{}, db{};
        float *__restrict g = room.by_value + j;
#pragma GCC unroll 2
        for (int i = 0; i < N; i++) {
            const float ds = room.d_sa[i];
            const Two p = load2(before + i * N + j);
            const Two x = load2(g + i * N) + r * dy[at + i];
            dk = dk + x * in.v[at + i];
            db = db + x * sa[at + i];
            dw = dw + x * p;
            da = da + p * ds;
            store2(g + i * N, x * w + a * ds);
        }
        store2(out.w + at + j, dw);
        store2(out.k + at + j, dk);
        store2(out.a + at + j, da);
        store2(out.b + at + j, db);
    }
}

template <int N>
void backward_head(const Shape &shape, long lane, long head, const Inputs &in, const float *dy, const float *blocks,
                   const float *sa, const uint8_t *reset, const Grads &out) {
    Room<N> room;
    memset(room.zeros, 0, sizeof room.zeros);
    room.clear();
    const long stride = shape.heads * N;
    for (long block = shape.blocks() - 1; block >= 0; block--) {
        const long first = lane * shape.steps + block * BLOCK, at = first * stride + head * N;
        const long left = shape.steps - block * BLOCK;
        const int steps = left < BLOCK ? left : BLOCK;
        const float *start = blocks + ((lane * shape.heads + head) * shape.blocks() + block) * N * N;
        recompute<N>(room, start, in, sa, dy, reset + first, at, stride, steps, out.r);
        for (int n = steps - 1; n >= 0; n--) {
            const bool fresh = reset[first + n];
            back_values<N>(room, in, dy, at + n * stride, out);
            back_keys<N>(room, fresh ? room.zeros : room.states[n], in, sa, dy, at + n * stride, out);
            if (fresh) room.clear();
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
