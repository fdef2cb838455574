#include <stdio.h>
#include <stdlib.h>

/* Prints the primes up to its argument. */
int main(int argc, char **argv) {
  long limit = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
  for (long n = 2; n <= limit; n++) {
    int prime = 1;
    for (long d = 2; d * d <= n && prime; d++) prime = n % d != 0;
    if (prime) printf("%ld ", n);
  }
  puts("");
  return 0;
}
