/**
 * count-kernel.wat, assembled by `npm run kernel`; in base64.
 */
export const COUNT_KERNEL_CODE =
  'AGFzbQEAAAABBwFgAn9/AX8CEgEGa2VybmVsBm1lbW9yeQIAAQMCAQAHCQEFY291bnQAAAolASMBAX4DQCACIAApAwB7fCECIABB' +
  'CGohACAAIAFJDQALIAKnCw==';
