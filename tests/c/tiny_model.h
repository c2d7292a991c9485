/*
 * Writes a tiny language model with random weights: a GGUF file of the LLaMA family with a vocabulary of 96 tokens and a
 * context of 64. All bytes from 0x20 to 0x7e are tokens; token 95 is "th".
 */
#include <gptz.h>

#include <stdio.h>
#include <string.h>

enum { TINY_VOCABULARY = 96, TINY_WIDTH = 32, TINY_HEAD = 16, TINY_INNER = 48, TINY_CONTEXT = 64 };

static gptz_status tiny_tensor(gptz_tensor_writer *writer, const char *name, uint64_t rows, uint64_t columns)
{
    static float values[TINY_VOCABULARY * TINY_INNER];
    static uint32_t random = 1;
    const uint64_t shape[2] = { rows, columns };
    size_t i, n = (size_t)(rows * columns);
    for (i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        values[i] = (float)(random >> 8) / 8388608.0f - 1.0f;
        if (rows == 1)
            values[i] = 1.0f + values[i] / 4;
    }
    return gptz_tensor_writer_add_f32(writer, name, GPTZ_DTYPE_F32, shape + (rows == 1), rows == 1 ? 1 : 2, values, n);
}

/* A string in the JSON of the metadata: the byte as the vocabulary of GPT-2 spells it. */
static void tiny_token(char *to, int byte)
{
    if (byte == ' ')
        strcpy(to, "\"\\u0120\"");
    else
        sprintf(to, byte == '"' || byte == '\\' ? "\"\\%c\"" : "\"%c\"", byte);
}

static gptz_status write_tiny_model(const char *path)
{
    static const struct { const char *name; int rows, columns; } tensors[] = {
        { "token_embd.weight", TINY_VOCABULARY, TINY_WIDTH }, { "output_norm.weight", 1, TINY_WIDTH },
        { "blk.0.attn_norm.weight", 1, TINY_WIDTH },          { "blk.0.attn_q.weight", 2 * TINY_HEAD, TINY_WIDTH },
        { "blk.0.attn_k.weight", TINY_HEAD, TINY_WIDTH },     { "blk.0.attn_v.weight", TINY_HEAD, TINY_WIDTH },
        { "blk.0.attn_output.weight", TINY_WIDTH, 2 * TINY_HEAD },
        { "blk.0.ffn_norm.weight", 1, TINY_WIDTH },           { "blk.0.ffn_gate.weight", TINY_INNER, TINY_WIDTH },
        { "blk.0.ffn_up.weight", TINY_INNER, TINY_WIDTH },    { "blk.0.ffn_down.weight", TINY_WIDTH, TINY_INNER },
    };
    static char json[4096];
    gptz_tensor_writer *writer = NULL;
    gptz_status status;
    size_t i;
    int byte;

    sprintf(json, "{\"general.architecture\":{\"string\":\"llama\"},\"llama.block_count\":{\"u32\":1},"
        "\"llama.context_length\":{\"u32\":%d},\"llama.embedding_length\":{\"u32\":%d},"
        "\"llama.feed_forward_length\":{\"u32\":%d},\"llama.attention.head_count\":{\"u32\":2},"
        "\"llama.attention.head_count_kv\":{\"u32\":1},\"llama.attention.layer_norm_rms_epsilon\":{\"f32\":1e-5},"
        "\"tokenizer.ggml.model\":{\"string\":\"gpt2\"},\"tokenizer.ggml.pre\":{\"string\":\"gpt-2\"},"
        "\"tokenizer.ggml.merges\":{\"string\":[\"t h\"]},\"tokenizer.ggml.tokens\":{\"string\":[",
        TINY_CONTEXT, TINY_WIDTH, TINY_INNER);
    for (byte = 0x20; byte < 0x7f; byte++) {
        tiny_token(json + strlen(json), byte);
        strcat(json, ",");
    }
    strcat(json, "\"th\"]}}");
    status = gptz_tensor_writer_open(path, GPTZ_TENSORS_GGUF, json, &writer);
    for (i = 0; status == GPTZ_OK && i < sizeof tensors / sizeof *tensors; i++)
        status = tiny_tensor(writer, tensors[i].name, (uint64_t)tensors[i].rows, (uint64_t)tensors[i].columns);
    if (status == GPTZ_OK)
        status = gptz_tensor_writer_finish(writer);
    gptz_tensor_writer_free(writer);
    return status;
}
