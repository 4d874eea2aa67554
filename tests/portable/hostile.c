/*
 * Loads many files out of one: each a size of four bytes, least significant first, and its bytes.
 * For each it prints a line: the error, or "ok" and the first bytes of a hash of all elements.
 * The second argument is the most memory that may be held.
 */
#define ARTPACK_MAIN
#define main list_tensors
#include "decoder.c"
#undef main

static void load_one(const uint8_t *data, size_t size, uint64_t max_memory)
{
    artpack_result result;
    uint8_t *copy = malloc(size + !size), digest[32]; /* of its own, so that its ends are guarded */
    sha256 hash;

    memcpy(copy, data, size);
    sha256_start(&hash);
    if (artpack_load(copy, size, max_memory, &result)) {
        for (size_t i = 0; i < result.count; i++)
            sha256_add(&hash, result.tensors[i].data, result.tensors[i].bytes);
        sha256_end(&hash, digest);
        printf("ok %08lx\n", (unsigned long)big_endian_32(digest));
    } else {
        printf("%s\n", result.error);
    }
    artpack_free(&result);
    free(copy);
}

int main(int count, char **arguments)
{
    size_t size = 0;
    uint8_t *files = count == 3 ? read_file(arguments[1], &size) : NULL;

    for (size_t at = 0; files && at < size;) {
        size_t bytes = little_endian_32(files + at);
        load_one(files + at + 4, bytes, strtoul(arguments[2], NULL, 10));
        at += 4 + bytes;
    }
    free(files);
    return !files;
}
