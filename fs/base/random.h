// Numbers from a seed, the same on every machine: splitmix64 (Steele, Lea, Flood 2014).  Not for secrets.
#pragma once

#include <cstdint>

namespace meshfs {

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    uint64_t below(uint64_t bound) { return bound == 0 ? 0 : next() % bound; }  // 0 .. bound - 1
    uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }  // both included
    double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // 0 <= unit < 1
    bool chance(double probability) { return probability > 0 && unit() < probability; }

private:
    uint64_t state_;
};

}  // namespace meshfs
