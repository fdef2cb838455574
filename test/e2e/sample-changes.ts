// What is changed in the samples after their first build, and what may follow from it.
export interface Change {
  readonly sample: string;
  readonly what: string;
  /** A file of the context: text to replace, and by what. */
  readonly edit?: readonly [file: string, text: string, by: string];
  readonly args?: readonly string[];
  /** The steps that it may execute again, mounts left out, and no others. */
  readonly repeats: readonly string[];
  /** Why the first of them is. */
  readonly because: RegExp;
  /** Lines of those steps that show that they went on from what their cache mounts held. */
  readonly says?: readonly RegExp[];
  /** Lines that the first build has and this one must not have: the work that the cache mounts save. */
  readonly saves?: RegExp;
  /** Replaced in what the sample printed at first. */
  readonly prints: readonly [text: string, by: string];
}

const same = ['', ''] as const;

export const changes: readonly Change[] = [
  {
    sample: 'hello',
    what: 'another build argument',
    args: ['--build-arg', 'NAME=you'],
    repeats: ['RUN chmod 0755 greet.sh && uname -m > machine'],
    because: /ARG NAME: world → you/,
    prints: ['world', 'you'],
  },
  {
    sample: 'hello',
    what: 'another script',
    edit: ['greet.sh', 'hello', 'good morning'],
    repeats: ['COPY greet.sh .', 'RUN chmod 0755 greet.sh && uname -m > machine'],
    because: /1 file changed: \S*greet\.sh \(content\)/,
    prints: ['hello', 'good morning'],
  },
  {
    sample: 'hello',
    what: 'a comment more',
    edit: ['Buildfile', 'FROM', '# No change.\nFROM'],
    repeats: [],
    because: /^$/,
    prints: same,
  },
  {
    sample: 'web-page',
    what: 'another text',
    edit: ['pages/layers.txt', 'Nothing is', 'No file is'],
    repeats: ['COPY pages /pages', 'RUN sh /generate.sh /pages .', 'COPY --from=site /site /site'],
    because: /1 file changed: \S*layers\.txt \(content\)/,
    prints: ['Nothing is', 'No file is'],
  },
  {
    sample: 'python-app',
    what: 'another text',
    edit: ['words.txt', 'layer', 'tar'],
    repeats: ['COPY --chown=app words.py words.txt ./'],
    because: /1 file changed: \S*words\.txt \(content\)/,
    prints: ['layer 2', 'tar 4'],
  },
  {
    sample: 'python-service',
    what: 'another greeting',
    edit: ['service.py', 'hello, {{', 'welcome, {{'],
    repeats: ['COPY service.py .'],
    because: /1 file changed: \S*service\.py \(content\)/,
    prints: ['hello', 'welcome'],
  },
  {
    sample: 'python-service',
    what: 'a requirement more',
    edit: ['requirements.txt', 'bottle', 'itsdangerous==2.2.0\nbottle'],
    repeats: [
      'COPY requirements.txt .',
      'RUN bin/pip install --use-pep517 --disable-pip-version-check -r requirements.txt',
      'COPY --from=build /app .',
      'COPY service.py .',
    ],
    because: /1 file changed: \S*requirements\.txt \(content\)/,
    says: [/Downloading itsdangerous/, /Using cached docopt/],
    saves: /Building wheel for docopt/,
    prints: same,
  },
  {
    sample: 'node-service',
    what: 'another server',
    edit: ['server.js', 'hello, ', 'welcome, '],
    repeats: ['COPY server.js ./', 'COPY --from=build /app ./'],
    because: /1 file changed: \S*server\.js \(content\)/,
    prints: ['hello', 'welcome'],
  },
  {
    sample: 'c-scratch',
    what: 'another comment in the C, which compiles to the same program',
    edit: ['primes.c', 'Prints the', 'Says which'],
    repeats: ['COPY primes.c .', 'RUN gcc -O2 -Wall -Werror -static -o /primes primes.c && strip /primes'],
    because: /1 file changed: \S*primes\.c \(content\)/,
    prints: same,
  },
  {
    sample: 'go-scratch',
    what: 'another language',
    edit: ['numbers.go', 'language.German', 'language.French'],
    repeats: [
      'COPY *.go ./',
      "RUN CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -v -trimpath -ldflags='-s -w' -o /numbers .",
      'COPY --from=build /numbers /numbers',
    ],
    because: /1 file changed: \S*numbers\.go \(content\)/,
    says: [/example.com\/numbers$/],
    saves: /golang.org\/x\/text\/\w+$/,
    prints: ['de 1.234.567,89', 'fr 1\u00a0234\u00a0567,89'],
  },
  {
    sample: 'rust-scratch',
    what: 'another word',
    edit: ['src/main.rs', '} letters,', '} characters,'],
    repeats: [
      'COPY src src',
      "RUN find src -name '*.rs' -exec touch {} + && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked && cp target/release/letters /letters",
      'COPY --from=build /letters /letters',
    ],
    because: /1 file changed: \S*main\.rs \(content\)/,
    says: [/Compiling letters/],
    saves: /(Downloaded|Compiling) unicode-segmentation/,
    prints: ['letters', 'characters'],
  },
  {
    sample: 'java-app',
    what: 'another key',
    edit: ['src/main/java/app/App.java', '"hello"', '"welcome"'],
    repeats: ['COPY src src', 'RUN mvn --batch-mode package', 'COPY --from=build /src/target/app /app'],
    because: /1 file changed: \S*App\.java \(content\)/,
    says: [/Compiling 1 source file/],
    saves: /Downloading from/,
    prints: ['hello', 'welcome'],
  },
];
