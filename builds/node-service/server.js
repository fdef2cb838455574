// Answers with a greeting; with --once it asks itself one time and stops.
const express = require('express');

const once = process.argv.includes('--once');
const app = express();
app.get('/hello/:name', (request, response) => response.send(`hello, ${request.params.name}, from express\n`));

const server = app.listen(once ? 0 : 8080, '127.0.0.1', async () => {
  if (!once) return;
  const { port } = server.address();
  const answer = await fetch(`http://127.0.0.1:${port}/hello/world`);
  process.stdout.write(await answer.text());
  server.close();
});
