/** A QEMU that has an image open, in place of a running guest. */
import { execa } from 'execa';
import { onTestFinished } from 'vitest';

/** qemu-io with `image` open until the test ends. */
export async function holdOpen(image: string, ...options: string[]): Promise<number> {
  const holder = execa('qemu-io', [...options, image], { stdin: 'pipe', reject: false });
  onTestFinished(async () => {
    holder.kill();
    await holder;
  });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    void holder.then(({ message }) => reject(new Error(message)));
  });
  return holder.pid!;
}
