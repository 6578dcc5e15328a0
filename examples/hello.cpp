// Opens a model and prints its answer while it is made: hello MODEL.gguf
#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>

#include "nestling.h"

namespace {

// Throws an error as an exception, and frees it.
void check(nest_error *error) {
    if (error != nullptr) {
        std::runtime_error exception(nest_error_message(error));
        nest_error_free(error);
        throw exception;
    }
}

// Owns a handle: made by one function, freed by the other.
template <typename T>
using Handle = std::unique_ptr<T, void (*)(T *)>;

template <typename T, typename Make>
Handle<T> own(void (*free)(T *), Make make) {
    T *handle = nullptr;
    check(make(&handle));
    return Handle<T>(handle, free);
}

void run(const char *path) {
    auto source = own<nest_source>(nest_source_free, [&](auto out) { return nest_source_new_path(path, out); });
    auto model = own<nest_model>(nest_model_free, [&](auto out) { return nest_model_open(source.get(), nullptr, nullptr, out); });
    auto session = own<nest_session>(nest_session_free, [&](auto out) { return nest_session_new(model.get(), nullptr, out); });

    auto messages = own<nest_messages>(nest_messages_free, nest_messages_new);
    check(nest_messages_add(messages.get(), "user", "What is a nestling? Answer in one sentence.", -1));

    auto options = own<nest_options>(nest_options_free, [](auto out) { return nest_options_new("generation", out); });
    check(nest_options_set_float(options.get(), "temperature", 0));
    check(nest_options_set_int(options.get(), "max_tokens", 64));

    auto generation = own<nest_generation>(nest_generation_free, [&](auto out) {
        return nest_generation_new_messages(session.get(), messages.get(), options.get(), nullptr, out);
    });
    nest_piece piece{};
    piece.struct_size = sizeof piece;
    int32_t has_piece = 0;
    for (;;) {
        check(nest_generation_next(generation.get(), &piece, &has_piece));
        if (has_piece == 0) {
            break;
        }
        std::cout.write(piece.text, static_cast<std::streamsize>(piece.text_length)).flush();
    }
    std::cout << std::endl;

    nest_session_stats stats{};
    stats.struct_size = sizeof stats;
    check(nest_session_get_stats(session.get(), &stats));
    std::fprintf(stderr, "%llu tokens, %.1f tokens/s\n",
                 static_cast<unsigned long long>(stats.generated_tokens), stats.generation_rate);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: hello MODEL.gguf\n";
        return 2;
    }
    try {
        run(argv[1]);
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "error: " << error.what() << '\n';
        return 1;
    }
}
