/* ./digits libonnxruntime.so model.onnx pictures: the functions stand in a table that only grows at its end. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MESSAGE = 2, ENV = 3, SESSION = 7, RUN = 9, OPTIONS = 10, THREADS = 24, INPUT_NAME = 36, OUTPUT_NAME = 37,
       TENSOR = 49, DATA = 51, MEMORY = 69, ALLOCATOR = 78, RELEASE_VALUE = 96, VERSION = 17, FLOAT = 1 };
typedef void *(*Function)();
typedef struct { const Function *(*api)(uint32_t); const char *(*version)(void); } Base;
static const Function *ort;
static void *session, *memory;
static char *input, *output;

static void must(void *error) {
    if (error) { fprintf(stderr, "%s\n", (char *)ort[MESSAGE](error)); exit(1); }
}

static int label(float *picture) {
    int64_t shape[] = {1, 64}, best = 0;
    void *x = NULL, *y = NULL;
    float *logits;
    must(ort[TENSOR](memory, picture, sizeof(float[64]), shape, (size_t)2, FLOAT, &x));
    must(ort[RUN](session, NULL, &input, &x, (size_t)1, &output, (size_t)1, &y));
    must(ort[DATA](y, &logits));
    for (int digit = 1; digit < 10; digit++) if (logits[digit] > logits[best]) best = digit;
    ort[RELEASE_VALUE](x), ort[RELEASE_VALUE](y);
    return best;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int count, char **given) {
    void *env, *options, *allocator, *library = count == 4 ? dlopen(given[1], RTLD_NOW) : NULL;
    float picture[64];
    FILE *pictures = library ? fopen(given[3], "rb") : NULL;
    if (!pictures || !fread(picture, sizeof picture, 1, pictures)) return 2;
    const Base *base = ((const Base *(*)(void))dlsym(library, "OrtGetApiBase"))();
    if (!(ort = base->api(VERSION))) return 3;
    must(ort[ENV](4, "digits", &env)), must(ort[OPTIONS](&options)), must(ort[THREADS](options, 1));
    must(ort[SESSION](env, given[2], options, &session)), must(ort[ALLOCATOR](&allocator));
    must(ort[INPUT_NAME](session, (size_t)0, allocator, &input));
    must(ort[OUTPUT_NAME](session, (size_t)0, allocator, &output)), must(ort[MEMORY](0, 0, &memory));
    printf("%d ONNX Runtime %s\n", label(picture), base->version()), fflush(stdout);
    do printf("%d ", label(picture)); while (fread(picture, sizeof picture, 1, pictures));
    printf("\n"), fflush(stdout);
    for (int calls; scanf("%d", &calls) == 1; fflush(stdout)) {
        double start = now();
        for (int call = 0; call < calls; call++) label(picture);
        printf("%.9g\n", (now() - start) / calls);
    }
    return 0;
}
