import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Server, startServer } from '../support/process.ts';
import { certificateForLoopback, type ServerCertificate } from '../support/registry/tls.ts';
import { cleanEnvironment, peer } from './peers.ts';

export interface NginxOptions {
  /** It speaks TLS, and the registry behind it does not. */
  readonly tls?: true;
  /** Only with a certificate of a client. */
  readonly clients?: true;
  /** Requests in a second; more are answered 429. */
  readonly rate?: number;
  /** Seconds for which answers to GET and HEAD are kept, 404 among them. */
  readonly cache?: number;
  /** Bytes of a body; 1 MiB, if left out, as where nothing is configured. */
  readonly maxBody?: number;
}

/** nginx before a registry. */
export interface Nginx extends Server {
  /** Flags of bulla to get through. */
  readonly flags: readonly string[];
}

/** @param upstream `host:port` of the registry */
export async function startNginx(upstream: string, options: NginxOptions = {}): Promise<Nginx> {
  const directory = mkdtempSync(join(tmpdir(), 'bulla-nginx-'));
  const path = (name: string): string => join(directory, name);
  for (const name of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi', 'cache']) mkdirSync(path(name));
  const write = (name: string, certificate: ServerCertificate): void => {
    writeFileSync(path(`${name}.pem`), certificate.cert);
    writeFileSync(path(`${name}.key`), certificate.key, { mode: 0o600 });
  };
  const { tls = false, clients = false, rate, cache, maxBody } = options;
  const secure = tls || clients;
  write('server', certificateForLoopback('nginx'));
  write('client', certificateForLoopback('a client'));
  const config = (port: number): string => `
    daemon off;
    master_process off;
    pid ${path('pid')};
    error_log stderr;
    events {}
    http {
      access_log off;
      ${['body', 'fastcgi', 'uwsgi', 'scgi', 'proxy']
        .map((name) => `${name === 'body' ? 'client_body' : name}_temp_path ${path(name)};`)
        .join('\n')}
      ${maxBody === undefined ? '' : `client_max_body_size ${maxBody};`}
      ${rate === undefined ? '' : `limit_req_zone $binary_remote_addr zone=all:1m rate=${rate}r/s; limit_req_status 429;`}
      ${cache === undefined ? '' : `proxy_cache_path ${path('cache')} keys_zone=all:1m;`}
      server {
        listen 127.0.0.1:${port}${secure ? ' ssl' : ''};
        ${secure ? `ssl_certificate ${path('server.pem')}; ssl_certificate_key ${path('server.key')};` : ''}
        ${clients ? `ssl_client_certificate ${path('client.pem')}; ssl_verify_client on;` : ''}
        location / {
          proxy_pass http://${upstream};
          proxy_set_header Host $http_host;
          proxy_set_header X-Forwarded-Proto $scheme;
          proxy_http_version 1.1;
          ${rate === undefined ? '' : `limit_req zone=all burst=${rate} nodelay;`}
          ${cache === undefined ? '' : `proxy_cache all; proxy_cache_key $request_method$request_uri$http_range; proxy_cache_valid 200 404 ${cache}s; proxy_ignore_headers Cache-Control Expires;`}
        }
      }
    }`;
  try {
    const server = await startServer({
      file: peer('nginx'),
      args: (port) => {
        writeFileSync(path('nginx.conf'), config(port));
        return ['-p', directory, '-c', path('nginx.conf')];
      },
      env: cleanEnvironment(),
      ...(secure ? { isMute: true } : { answers: '/v2/' }),
    });
    const stop = async (): Promise<void> => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    };
    const flags = [
      ...(secure ? ['--plain-http=false', '--ca-file', path('server.pem')] : []),
      ...(clients ? ['--cert-file', path('client.pem'), '--key-file', path('client.key')] : []),
    ];
    return { ...server, flags, stop };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}
