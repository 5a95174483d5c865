import { describe, expect, test } from 'vitest';
import { commandFile } from '../../../src/cli/command-files.ts';
import { COMMANDS } from '../../../src/cli/command-table.ts';

describe('the file of a command', () => {
  test.each(COMMANDS.filter(({ name }) => name !== 'completion'))(
    'is registered for $name and contains it',
    async ({ name, load }) => {
      const file = commandFile([name, '--json']);
      expect(file).toBeDefined();
      const exported: object = await import(`../../../src/cli/commands/${file}.ts`);
      expect(Object.values(exported)).toContain(await load());
    },
  );

  test.each([
    [[]],
    [['--help']],
    [['help', 'list']],
    [['lst']],
    [['completion', 'bash']],
    [['toString']],
    [['list', '--qmp', 'socket', 'disk.qcow2']],
    [['map', '--picture=map.svg', 'disk.qcow2']],
  ])('is not registered for %j, so the file with all commands is used', (args) => {
    expect(commandFile(args)).toBeUndefined();
  });
});
