/** nginx as a reverse proxy, which reads neither questions nor answers: what a connection costs at the least. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "#scripts/stack/ports.ts";
import { writeAtomic } from "#scripts/stack/state-dir.ts";
import { answering } from "./answering.ts";
import type { Contestant } from "./contestant.ts";
import { onPath } from "./on-path.ts";

/** Where distributions put it, which is not on everybody's PATH. */
const SYSTEM_FOLDERS = ["/usr/sbin", "/usr/local/sbin"];
const VERSION_LIMIT_MS = 5_000;

/** @param env where PATH is taken from; `systemFolders` come after it */
export function nginx(env: NodeJS.ProcessEnv, systemFolders: readonly string[] = SYSTEM_FOLDERS): Contestant {
  return {
    name: "nginx",
    start: async (ring) => {
      const program = onPath("nginx", env, systemFolders);
      if (program === null) return { absent: "nginx is not installed; your system's packages have it" };
      const folder = join(ring.folder, "nginx");
      mkdirSync(folder, { recursive: true });
      const port = await freePort();
      const file = join(folder, "nginx.conf");
      writeAtomic(file, nginxConfig({ folder, engine: new URL(ring.engine).host, port }));
      return answering(
        ring,
        // Without -e it complains that the system's log is not for us.
        { name: "nginx", command: program, args: ["-e", "stderr", "-p", folder, "-c", file], cwd: folder },
        {
          what: `nginx ${await versionOf(program)}`,
          url: `http://127.0.0.1:${port}/v1/chat/completions`,
          headers: {},
        },
      );
    },
  };
}

/** One process, so that its group is exact. Bodies stay in memory, connections to the engine are kept. */
export function nginxConfig({ folder, engine, port }: { folder: string; engine: string; port: number }): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `daemon off;
master_process off;
worker_processes 1;
pid "${folder}/nginx.pid";
error_log stderr error;
events {
  worker_connections 8192;
}
http {
  access_log off;
${temporary.map((kind) => `  ${kind}_temp_path "${folder}/${kind}";`).join("\n")}
  client_body_buffer_size 1m;
  client_max_body_size 0;
  keepalive_requests 1000000000;
  upstream engine {
    server ${engine};
    keepalive 1024;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }
  }
}
`;
}

/** "1.26.3", from the line `nginx version: nginx/1.26.3`. */
function versionOf(program: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, ["-v"], { timeout: VERSION_LIMIT_MS }, (_, stdout, stderr) => {
      resolve(/nginx\/([\w.]+)/.exec(`${stdout}${stderr}`)?.[1] ?? "of unknown version");
    });
  });
}
