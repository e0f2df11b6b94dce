// A directory with a Secret as a kubelet mounts it, for tests that change a mounted certificate.
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';

/**
 * A directory with a Secret as a kubelet mounts it: `tls.crt -> ..data/tls.crt` and `..data -> ..1`. An update renames a new
 * `..data` over the old one (kubernetes pkg/volume/util/atomic_writer.go).
 */
export class MountedSecret {
  readonly folder: string;
  #version = 0;

  static async create(keyPair: PemKeyPair): Promise<MountedSecret> {
    const mountedSecret = new MountedSecret(await mkdtemp(join(tmpdir(), 'mounted-')));
    await mountedSecret.update(keyPair);
    await symlink('..data/tls.crt', mountedSecret.certFile);
    await symlink('..data/tls.key', mountedSecret.keyFile);
    return mountedSecret;
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  get certFile(): string {
    return join(this.folder, 'tls.crt');
  }

  get keyFile(): string {
    return join(this.folder, 'tls.key');
  }

  /** Updates the Secret atomically, then deletes the old version, as the kubelet does. */
  async update(keyPair: PemKeyPair): Promise<void> {
    const old = `..${this.#version}`;
    this.#version += 1;
    const name = `..${this.#version}`;
    await mkdir(join(this.folder, name));
    await writeFile(join(this.folder, name, 'tls.crt'), keyPair.certPem);
    await writeFile(join(this.folder, name, 'tls.key'), keyPair.keyPem);
    await symlink(name, join(this.folder, '..data_tmp'));
    await rename(join(this.folder, '..data_tmp'), join(this.folder, '..data'));
    await rm(join(this.folder, old), { recursive: true, force: true });
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
