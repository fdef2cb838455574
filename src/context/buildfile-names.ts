/** What a Buildfile is called where nobody says, in the order in which they are looked for. */
export const buildfileNames = ['Buildfile', 'Dockerfile', 'dockerfile', 'Containerfile'] as const;
