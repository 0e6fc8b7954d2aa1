<?php
return ['greeting' => 'Hello from the test copy'];
