// A thread; of the simulation if it is started from a simulated one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>

namespace meshfs {

class Thread {
public:
    Thread() = default;
    Thread(std::string name, std::function<void()> body);  // the name as for ps(1): 15 bytes are kept
    Thread(Thread&& other) noexcept { *this = std::move(other); }
    Thread& operator=(Thread&& other) noexcept;
    ~Thread();  // must have been joined, as std::thread

    bool joinable() const { return thread_.joinable() || simulated_ != 0; }
    void join();

private:
    std::thread thread_;
    uint32_t simulated_ = 0;  // number in the Scheduler, never 0
};

}  // namespace meshfs
