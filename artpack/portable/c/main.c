
#ifdef ARTPACK_MAIN

/* ---- A program that lists what is in a file ---- */

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t room = 0, got = 1;

    *size = 0;
    while (file && got) {
        uint8_t *more = *size < room ? data : realloc(data, room = 2 * room + 65536);
        if (!more)
            break;
        data = more;
        got = fread(data + *size, 1, room - *size, file);
        *size += got;
    }
    if (file && !got && !ferror(file) && !fclose(file))
        return data;
    free(data);
    return NULL;
}

/*
 * Print hash, stored bytes, dtype, shape and name; of the name what could disturb a line as \xNN.
 */
static void print_tensor(const artpack_tensor *t)
{
    sha256 hash;
    uint8_t digest[32];

    sha256_start(&hash);
    sha256_add(&hash, t->data, t->bytes);
    sha256_end(&hash, digest);
    for (int i = 0; i < 32; i++)
        printf("%02x", digest[i]);
    printf(" %.1f %s [", t->stored_bytes, t->dtype);
    for (size_t i = 0; i < t->dims; i++)
        printf(i ? ",%llu" : "%llu", (unsigned long long)t->shape[i]);
    printf("] ");
    for (size_t i = 0; i < t->name_bytes; i++)
        printf((uint8_t)t->name[i] < 32 || t->name[i] == '\\' ? "\\x%02x" : "%c",
               (uint8_t)t->name[i]);
    printf("\n");
}

int main(int count, char **arguments)
{
    artpack_result result;
    size_t size;
    uint8_t *data = count == 2 ? read_file(arguments[1], &size) : NULL;
    int done;

    if (!data) {
        fprintf(stderr, count == 2 ? "the file cannot be read\n" : "usage: decoder ARTIFACT\n");
        return 2;
    }
    done = artpack_load(data, size, 0, &result);
    for (size_t i = 0; i < result.count; i++)
        print_tensor(&result.tensors[i]);
    if (!done)
        fprintf(stderr, "%s\n", result.error);
    artpack_free(&result);
    free(data);
    return !done;
}

#endif
#endif
