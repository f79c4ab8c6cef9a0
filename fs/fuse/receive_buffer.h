// The memory a reader thread receives a request in, which a large WRITE may keep instead of copying it.
#pragma once

#include <cstdlib>
#include <memory>

#include "fs/base/buffer.h"

namespace meshfs {

class ReceiveBuffer {
public:
    // Memory for the next request; null lets libfuse allocate it with malloc, then held() takes it.
    char* memory() { return memory_.get(); }
    void held(void* from_libfuse, size_t bytes) {
        if (from_libfuse == memory_.get()) return;
        memory_ = std::shared_ptr<char>(static_cast<char*>(from_libfuse), std::free);
        capacity_ = bytes;
    }
    // The bytes at `data`, inside this memory, as a Buffer that outlives the request.  Less than half of the memory
    // is copied: a small write must not pin a megabyte.
    Buffer keep(const char* data, size_t size) {
        if (size < capacity_ / 2) return Buffer::copy_of({data, size});
        Buffer kept = Buffer::wrap(memory_, const_cast<char*>(data), size);
        memory_.reset();
        return kept;
    }

private:
    std::shared_ptr<char> memory_;  // with the Buffers cut from it
    size_t capacity_ = 0;
};

}  // namespace meshfs
