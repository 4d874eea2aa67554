/*
 * A decoder of artpack artifacts in C99, with the C library and nothing else.
 *
 *     artpack_result result;
 *     if (artpack_load(data, size, 0, &result))
 *         use(result.tensors, result.count);
 *     else
 *         puts(result.error);
 *     artpack_free(&result);
 *
 * It follows docs/FORMAT.md of artpack, whose words it uses, and reads all artifacts whose streams
 * need no other library: those of the codecs `stored` and `lzma`. Carried files are passed over.
 * It has no global state, and nothing in a file makes it read or write outside of its memory.
 *
 * The result is the same to the bit on any machine with IEEE 754 arithmetic, with any optimization
 * but -ffast-math. To use it from other files, define ARTPACK_DECLARATIONS and include this one;
 * with ARTPACK_MAIN it is a program that lists the tensors of a file.
 */
#ifndef ARTPACK_H
#define ARTPACK_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;      /* UTF-8, with a zero byte behind it */
    size_t name_bytes;     /* without that zero byte; a name may have others inside */
    const char *dtype;     /* as docs/FORMAT.md names it: "float32", "bfloat16", ... */
    size_t dims;
    const uint64_t *shape; /* dims sizes */
    const uint8_t *data;   /* elements, row-major, the least significant byte of each first */
    size_t bytes;
    double stored_bytes;   /* its share of the streams: members share one by their symbols */
} artpack_tensor;

typedef struct {
    char error[160];         /* one line that says what is wrong with the file, or empty */
    size_t count;
    artpack_tensor *tensors; /* in the checkpoint's order; tied ones share their data */
    void *memory;            /* all that artpack_free frees */
} artpack_result;

/*
 * Decode an artifact, every checksum and hash checked. Returns 1, or 0 with an error.
 *
 * max_memory is the most that may be held at once, in bytes. With 0 it is what docs/FORMAT.md
 * allows a file of this size: 64 MiB and 256 times the size for all symbols, and some 30 times that
 * in the worst case for what is made of them.
 */
int artpack_load(const uint8_t *data, size_t size, uint64_t max_memory, artpack_result *result);

/* Free what a result holds, after success and after an error. */
void artpack_free(artpack_result *result);

#endif

#ifndef ARTPACK_DECLARATIONS

#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "artpack: -ffast-math would change weights"
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 1
#error "artpack: fp64 must be computed as fp64: on 32-bit x86, compile with -msse2 -mfpmath=sse"
#endif
