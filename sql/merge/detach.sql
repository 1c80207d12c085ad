DETACH input;
