/* What the measuring programs share: a clock, the text to read, a hash to compare token lists, memory, JSON lines. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_CTX = 2048, N_PROMPT = 512, N_SHORT = 16, N_DECODE = 128, N_PEAK = 64, MAX_REPEATS = 64 };
/* The mode `points`: tokens of the context, tokens decoded one by one, tokens that a measured prompt has at least. */
enum { N_CTX_POINTS = 4352, N_STEPS = 32, N_LEAST = 128 };

static double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void bench_fail(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* Under BENCH_TURNS: tells on standard error that the next measurement may begin, and waits for a line. */
static void bench_turn(void) {
    if (getenv("BENCH_TURNS") == NULL) return;
    fputc('.', stderr);
    if (fgetc(stdin) == EOF) bench_fail("standard input ended before the last turn");
}

/* The text of a file, repeated `times` times. The caller frees it. */
static char *bench_text(const char *path, int times) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) bench_fail("the text cannot be opened");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = (char *)malloc((size_t)size * (size_t)times + 1);
    if (text == NULL || fread(text, 1, (size_t)size, file) != (size_t)size) bench_fail("the text cannot be read");
    fclose(file);
    for (int i = 1; i < times; i++) memcpy(text + (size_t)size * (size_t)i, text, (size_t)size);
    text[(size_t)size * (size_t)times] = 0;
    return text;
}

/* FNV-1a, continued from `hash`; begin with 0. Two programs that did the same work report the same hash. */
static uint64_t bench_hash(uint64_t hash, const int32_t *tokens, size_t n) {
    if (hash == 0) hash = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ (uint32_t)tokens[i]) * 1099511628211u;
    return hash;
}

static void bench_print_list(const char *name, const double *values, int n) {
    printf("\"%s\":[", name);
    for (int i = 0; i < n; i++) printf("%s%.9f", i ? "," : "", values[i]);
    printf("],");
}

/* A point to measure: "prompt:N" evaluates N tokens at a time, "decode:N" takes N_STEPS tokens one by one after N. */
typedef struct {
    int decodes, n;
} bench_point;

static bench_point bench_parse(const char *text) {
    bench_point point = {!strncmp(text, "decode:", 7), 0};
    const char *colon = strchr(text, ':');
    if (colon != NULL) point.n = atoi(colon + 1);
    if (point.n < 1 || point.n + N_STEPS > N_CTX_POINTS) bench_fail("a point is prompt:N or decode:N");
    return point;
}

/* How often a prompt is evaluated in one measurement. */
static int bench_times(bench_point point) { return point.n < N_LEAST ? N_LEAST / point.n : 1; }

/* Peak and present memory of this process, in KiB, as the kernel counts it. */
static void bench_print_memory(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char name[32];
        long value;
        if (sscanf(line, "%31[^:]: %ld kB", name, &value) != 2) continue;
        if (!strcmp(name, "VmHWM") || !strcmp(name, "RssAnon") || !strcmp(name, "RssFile"))
            printf("\"%s\":%ld,", name, value);
    }
    if (file != NULL) fclose(file);
}

#endif
