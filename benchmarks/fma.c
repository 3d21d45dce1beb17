/* Measure the machine's peak of float32 multiply-adds. Each thread adds to twelve sums in turn, which hides the latency
   of a single addition.

   Usage: fma THREADS. It prints the billions of floating-point operations per second of all threads together (a
   multiply-add counts as two) and the bits of a vector. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

typedef float vector __attribute__((vector_size(BYTES)));
enum { CHAINS = 12, ROUNDS = 50 * 1000 * 1000, LANES = BYTES / sizeof(float) };

struct part {
    pthread_t id;
    double began, ended;
    float sum;
};

static pthread_barrier_t start;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void *multiply(void *argument) {
    struct part *own = argument;
    const vector zero = {0};
    vector factor = zero + 0.999f, term = zero + 0.001f; /* keeps sums finite and normal; others are slower */
    vector sums[CHAINS];
    for (int c = 0; c < CHAINS; c++) sums[c] = zero + (float)c;
    pthread_barrier_wait(&start);
    own->began = now();
    for (long i = 0; i < ROUNDS; i++)
        for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * factor + term;
    own->ended = now();
    own->sum = 0;
    for (int c = 0; c < CHAINS; c++)
        for (int lane = 0; lane < LANES; lane++) own->sum += sums[c][lane];
    return NULL;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1) return 2;
    struct part *parts = calloc(threads, sizeof *parts);
    pthread_barrier_init(&start, NULL, threads);
    for (int t = 0; t < threads; t++) pthread_create(&parts[t].id, NULL, multiply, &parts[t]);
    double began = 0, ended = 0;
    float sum = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(parts[t].id, NULL);
        if (t == 0 || parts[t].began < began) began = parts[t].began;
        if (t == 0 || parts[t].ended > ended) ended = parts[t].ended;
        sum += parts[t].sum;
    }
    double flop = 2.0 * ROUNDS * CHAINS * LANES * threads;
    printf("%.3f %d\n", flop / (ended - began) / 1e9, 8 * BYTES);
    return sum > 0 ? 0 : 1; /* the sums are used, so that no compiler leaves them out */
}
