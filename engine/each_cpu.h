/* One body, compiled for AVX-512, AVX2 and plain x86-64, chosen when the program starts: for loops that the
 * compiler vectorises. Sanitizers do not get along with the resolvers. */
#ifndef ENGINE_EACH_CPU_H
#define ENGINE_EACH_CPU_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_CPU
#endif

#endif
